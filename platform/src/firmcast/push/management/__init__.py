"""What an administrator sees and sets of subscriptions: `/v1/subscriptions`."""
