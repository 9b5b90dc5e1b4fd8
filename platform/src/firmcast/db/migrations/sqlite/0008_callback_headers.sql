-- Pushes to an application may carry headers of the operator's own; the values are sealed.

-- applications ---------------------------------------------------------------------------------------------------

ALTER TABLE application ADD COLUMN callback_header_names TEXT NOT NULL DEFAULT '';
ALTER TABLE application ADD COLUMN callback_headers_sealed BLOB;
