-- Version 4: what the grid of 2^-20 did to images (defenses/defense.h, pg_verdict), counted from here on. NULL: not counted.

ALTER TABLE outcome ADD COLUMN saturated INTEGER CHECK (saturated IN (0, 1));     -- a value beyond the grid's end
ALTER TABLE outcome ADD COLUMN differs INTEGER CHECK (differs IN (0, 1));         -- another prediction in double
ALTER TABLE summary ADD COLUMN saturated INTEGER CHECK (saturated BETWEEN 0 AND n); -- of the n images; under the checksum, as is
ALTER TABLE summary ADD COLUMN differs INTEGER CHECK (differs BETWEEN 0 AND n);     -- this one, where not both are NULL
