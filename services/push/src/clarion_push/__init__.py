"""The push worker: renders push messages and hands them to FCM."""
