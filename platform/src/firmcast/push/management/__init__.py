"""What operators decide about deliveries: `/v1/subscriptions`, `/v1/dead-letters/discard`."""
