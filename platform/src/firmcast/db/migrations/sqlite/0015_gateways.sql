-- devices --------------------------------------------------------------------------------------------------------

-- The gateway that holds the registration: it alone carries out orders, and takes outcomes of them to the store. The
-- epoch grows with each change of hands. Of a store from before, all registrations are nobody's.
ALTER TABLE registration ADD COLUMN gateway TEXT NOT NULL DEFAULT '';
ALTER TABLE registration ADD COLUMN gateway_epoch INTEGER NOT NULL DEFAULT 0;

CREATE INDEX registration_by_gateway ON registration (gateway, device_id);
CREATE INDEX registration_by_address ON registration (host, port);
