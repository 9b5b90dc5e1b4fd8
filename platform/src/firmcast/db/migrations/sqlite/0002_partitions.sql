-- A delivery belongs to the partition of its device. Here one process has them all, so what older rows say is never asked.

-- push -----------------------------------------------------------------------------------------------------------

ALTER TABLE delivery ADD COLUMN partition INTEGER NOT NULL DEFAULT 0;
