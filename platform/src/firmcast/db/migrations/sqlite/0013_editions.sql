-- push -----------------------------------------------------------------------------------------------------------

-- Which row this is of those that an event and a subscription have had: what was found out about another does not count.
ALTER TABLE delivery ADD COLUMN edition INTEGER NOT NULL DEFAULT 0;
