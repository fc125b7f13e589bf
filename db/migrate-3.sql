-- Version 3: what shows damage wherever it is. A column is under a checksum, counted or hashed again by `db check`, or in an index:
-- SQLite's integrity check finds every row that differs from its copy there. These are the indexes of columns that nothing else
-- covers. Those of whole rows start with the key, so that a row and its copy are written side by side. No query needs them.

CREATE INDEX meta_whole ON meta (key, value);
CREATE INDEX dataset_whole ON dataset (dataset, name, images, classes);
CREATE INDEX forward_by_dataset ON forward (dataset);
CREATE INDEX cell_by_forward ON cell (forward);
CREATE INDEX plan_whole ON plan (plan, name, matrix, overrides, created);
CREATE INDEX plan_cell_by_cell ON plan_cell (cell, plan);
CREATE INDEX worker_whole ON worker (worker, host, pid, revision, versions, device, threads, started, ended);
CREATE INDEX task_whole ON task (task, count, state, owner, epoch, attempts, error);
CREATE INDEX attempt_whole ON attempt (attempt, worker, epoch, result, device, library, threads, batch, cached, wall_s, read_s,
                                       forward_s, certify_s, peak_bytes, error, finished);
CREATE INDEX audit_whole ON audit (cell, level, settings, n, certified, broken, unbroken, published_broken, delta, witness,
                                   finished);
CREATE INDEX shard_whole ON shard (store_id, plan, name, tasks, merged);
