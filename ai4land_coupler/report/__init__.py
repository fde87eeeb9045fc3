"""Web page and figures of a run."""
