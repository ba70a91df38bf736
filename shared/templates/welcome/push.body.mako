Your account is ready. Tap to get started.
