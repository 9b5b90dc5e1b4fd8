-- An application may have its pushes signed with an Ed25519 key too.

-- applications ---------------------------------------------------------------------------------------------------

ALTER TABLE application ADD COLUMN signing_key_sealed BLOB;
ALTER TABLE application ADD COLUMN signing_public_key TEXT NOT NULL DEFAULT '';
ALTER TABLE application ADD COLUMN former_signing_key_sealed BLOB;
ALTER TABLE application ADD COLUMN former_signing_key_ends_at INTEGER;
