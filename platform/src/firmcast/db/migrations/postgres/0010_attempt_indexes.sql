-- The log of attempts is found by event and by subscription, the latest first; a device's is found by its events.

-- push -----------------------------------------------------------------------------------------------------------

DROP INDEX attempt_by_event;
CREATE INDEX attempt_by_event ON attempt (event_id);
CREATE INDEX attempt_by_subscription ON attempt (subscription_id, attempt_id);
