"""What every Clarion service needs: the notification, the broker, the store, the worker."""
