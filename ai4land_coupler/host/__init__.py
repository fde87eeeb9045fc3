"""One host grid: the fields that go to the host and come from it."""
