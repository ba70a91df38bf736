"""The chaos harness: real processes, real servers, traffic over HTTP, and a judge."""
