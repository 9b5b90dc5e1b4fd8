"""What operators do with applications over HTTP: `/v1/applications`."""
