-- Version 2: what lists and `status` ask of many cells at once, without reading what there is of each image or task.

-- Images of a cell that have an outcome, and its tasks that gave up: kept by the triggers below, counted again by `db check`.
CREATE TABLE total (
    cell   INTEGER PRIMARY KEY REFERENCES cell,
    images INTEGER NOT NULL CHECK (images >= 1),                   -- asked for
    n      INTEGER NOT NULL DEFAULT 0 CHECK (n BETWEEN 0 AND images), -- have an outcome
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0)          -- tasks in state 'failed'
) STRICT;

INSERT INTO total (cell, images, n, failed)
    SELECT c.cell, c.count, (SELECT ifnull(sum(s.n), 0) FROM summary s WHERE s.cell = c.cell),
           (SELECT count(*) FROM task_cell tc JOIN task t ON t.task = tc.task WHERE tc.cell = c.cell AND t.state = 'failed')
      FROM cell c;

CREATE TRIGGER total_of_cell AFTER INSERT ON cell BEGIN
    INSERT INTO total (cell, images) VALUES (new.cell, new.count);
END;
CREATE TRIGGER total_of_summary AFTER INSERT ON summary BEGIN
    UPDATE total SET n = n + new.n WHERE cell = new.cell;
END;
CREATE TRIGGER total_of_task AFTER UPDATE OF state ON task WHEN (old.state = 'failed') <> (new.state = 'failed') BEGIN
    UPDATE total SET failed = failed + CASE new.state WHEN 'failed' THEN 1 ELSE -1 END
     WHERE cell IN (SELECT cell FROM task_cell WHERE task = new.task);
END;
