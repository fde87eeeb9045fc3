"""Stored maps through the same component, without torch: what a host team couples first."""
