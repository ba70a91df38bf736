"""What the tests share: private servers, and ways to look at what happened."""
