-- Version 5: results for SQL. Tables of what other rows say, kept by the program (db/derived.c) and compared by `db check`, and the views
-- that people read: harness/MANUAL.md describes their columns. Shares and their ends are of 1 here, in percent in the views.
-- filled by: pg_db_derive

-- Settings and details of a cell, one a row, with the names of today (harness/base/names.h). Of a key in both, the setting.
CREATE TABLE cell_setting (
    cell  INTEGER NOT NULL REFERENCES cell,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (cell, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX cell_setting_by_value ON cell_setting (key, value, cell);

-- Sums over the summaries of a cell, with the ends of their 95% Wilson intervals; these are NULL where there are no images.
DROP TRIGGER total_of_summary;
ALTER TABLE total ADD COLUMN clean INTEGER NOT NULL DEFAULT 0 CHECK (clean BETWEEN 0 AND n);
ALTER TABLE total ADD COLUMN certified INTEGER NOT NULL DEFAULT 0 CHECK (certified BETWEEN 0 AND clean);
ALTER TABLE total ADD COLUMN published INTEGER NOT NULL DEFAULT 0 CHECK (published BETWEEN 0 AND n);
ALTER TABLE total ADD COLUMN cases INTEGER NOT NULL DEFAULT 0 CHECK (cases BETWEEN 0 AND n); -- in a failure case; 0: nothing is published
ALTER TABLE total ADD COLUMN masked INTEGER NOT NULL DEFAULT 0 CHECK (masked BETWEEN 0 AND n);
ALTER TABLE total ADD COLUMN nonfinite INTEGER NOT NULL DEFAULT 0 CHECK (nonfinite BETWEEN 0 AND n);
ALTER TABLE total ADD COLUMN attacked_n INTEGER NOT NULL DEFAULT 0 CHECK (attacked_n BETWEEN 0 AND n);
ALTER TABLE total ADD COLUMN attacked INTEGER NOT NULL DEFAULT 0 CHECK (attacked BETWEEN 0 AND attacked_n);
ALTER TABLE total ADD COLUMN margin INTEGER CHECK (margin > 0); -- the smallest positive one of a certified image
ALTER TABLE total ADD COLUMN clean_lo REAL;
ALTER TABLE total ADD COLUMN clean_hi REAL;
ALTER TABLE total ADD COLUMN certified_lo REAL;
ALTER TABLE total ADD COLUMN certified_hi REAL;
ALTER TABLE total ADD COLUMN published_lo REAL;
ALTER TABLE total ADD COLUMN published_hi REAL;
ALTER TABLE total ADD COLUMN attacked_lo REAL;
ALTER TABLE total ADD COLUMN attacked_hi REAL;

-- Pixels of an image, as the network takes it. NULL: not known; the next plan of this data set that finds its files tells.
ALTER TABLE dataset ADD COLUMN height INTEGER CHECK (height >= 1);
ALTER TABLE dataset ADD COLUMN width INTEGER CHECK (width >= 1);
DROP INDEX dataset_whole;
CREATE INDEX dataset_whole ON dataset (dataset, name, images, classes, height, width);

CREATE VIEW result AS
SELECT c.cell_id AS cell,
       CASE WHEN t.n = t.images THEN 'done' WHEN t.failed > 0 THEN 'failed' WHEN t.n > 0 THEN 'partial' ELSE 'new' END AS state,
       dataset.value AS dataset,
       weights.value AS weights,
       model.value AS model,
       defense.value AS defense,
       certificate.value AS certificate,
       attack.value AS attack,
       patch.value AS patch,
       CAST(px.value AS INTEGER) AS patch_height,
       CAST(substr(px.value, instr(px.value, 'x') + 1) AS INTEGER) AS patch_width,
       space.value AS patch_space,
       (SELECT d.height FROM forward f JOIN dataset d ON d.dataset = f.dataset WHERE f.forward = c.forward) AS image_height,
       (SELECT d.width FROM forward f JOIN dataset d ON d.dataset = f.dataset WHERE f.forward = c.forward) AS image_width,
       CAST(seed.value AS INTEGER) AS seed,
       CAST(batch.value AS INTEGER) AS batch,
       dtype.value AS dtype,
       c.first AS first_image,
       t.images AS images,
       t.n AS n,
       t.clean AS clean_count, 100.0 * t.clean / t.n AS clean, 100 * t.clean_lo AS clean_lo, 100 * t.clean_hi AS clean_hi,
       t.certified AS certified_count, 100.0 * t.certified / t.n AS certified,
       100 * t.certified_lo AS certified_lo, 100 * t.certified_hi AS certified_hi,
       CASE WHEN t.cases > 0 THEN t.published END AS certified_published_count,
       CASE WHEN t.cases > 0 THEN 100.0 * t.published / t.n END AS certified_published,
       CASE WHEN t.cases > 0 THEN 100 * t.published_lo END AS certified_published_lo,
       CASE WHEN t.cases > 0 THEN 100 * t.published_hi END AS certified_published_hi,
       t.attacked_n AS attacked_n,
       CASE WHEN t.attacked_n > 0 THEN t.attacked END AS attacked_count, 100.0 * t.attacked / t.attacked_n AS attacked,
       100 * t.attacked_lo AS attacked_lo, 100 * t.attacked_hi AS attacked_hi,
       t.masked AS masked_count,
       t.nonfinite AS nonfinite_count,
       t.margin / 1048576.0 AS smallest_margin,
       c.delta / 1048576.0 AS delta
  FROM cell c
  JOIN total t ON t.cell = c.cell
  LEFT JOIN cell_setting dataset ON dataset.cell = c.cell AND dataset.key = 'dataset'
  LEFT JOIN cell_setting weights ON weights.cell = c.cell AND weights.key = 'weights'
  LEFT JOIN cell_setting model ON model.cell = c.cell AND model.key = 'model'
  LEFT JOIN cell_setting defense ON defense.cell = c.cell AND defense.key = 'defense'
  LEFT JOIN cell_setting certificate ON certificate.cell = c.cell AND certificate.key = 'certificate'
  LEFT JOIN cell_setting attack ON attack.cell = c.cell AND attack.key = 'attack'
  LEFT JOIN cell_setting patch ON patch.cell = c.cell AND patch.key = 'patch'
  LEFT JOIN cell_setting px ON px.cell = c.cell AND px.key = 'patch.px'
  LEFT JOIN cell_setting space ON space.cell = c.cell AND space.key = 'patch-space'
  LEFT JOIN cell_setting seed ON seed.cell = c.cell AND seed.key = 'seed'
  LEFT JOIN cell_setting batch ON batch.cell = c.cell AND batch.key = 'batch'
  LEFT JOIN cell_setting dtype ON dtype.cell = c.cell AND dtype.key = 'dtype';

CREATE VIEW setting AS
SELECT c.cell_id AS cell, s.key AS key, s.value AS value FROM cell_setting s JOIN cell c ON c.cell = s.cell;

CREATE VIEW image_result AS
SELECT c.cell_id AS cell,
       o.image AS image,
       l.label AS label,
       o.prediction AS prediction,
       o.prediction = l.label AS correct,
       o.certified AS certified,
       CASE WHEN o.failure_case IS NOT NULL THEN o.published END AS certified_published,
       o.failure_case AS failure_case,
       o.masked AS masked,
       o.margin / 1048576.0 AS margin,
       o.attacked AS attacked,
       a.top AS attack_top,
       a."left" AS attack_left,
       a.target AS attack_target,
       a.steps AS attack_steps,
       a.loss AS attack_loss
  FROM outcome o
  JOIN cell c ON c.cell = o.cell
  JOIN forward f ON f.forward = c.forward
  JOIN label l ON l.dataset = f.dataset AND l.image = o.image
  LEFT JOIN attack a ON a.cell = o.cell AND a.image = o.image;

-- Attempts that made the results of a cell; several cells share one.
CREATE VIEW work AS
SELECT c.cell_id AS cell,
       k.first AS first_image,
       k.count AS images,
       a.cached AS cached,
       (SELECT count(*) FROM task_cell tc WHERE tc.task = k.task) AS cells,
       a.read_s AS read_s,
       a.forward_s AS forward_s,
       a.certify_s AS certify_s,
       a.wall_s AS wall_s,
       a.peak_bytes AS peak_bytes,
       a.device AS device,
       a.library AS library,
       a.threads AS threads,
       a.batch AS batch,
       w.host AS host,
       w.revision AS revision,
       a.finished AS finished
  FROM summary s
  JOIN cell c ON c.cell = s.cell
  JOIN task k ON k.task = s.task
  JOIN attempt a ON a.attempt = s.attempt
  LEFT JOIN worker w ON w.worker = a.worker;

CREATE VIEW audit_result AS
SELECT c.cell_id AS cell,
       a.level AS level,
       replace(replace(a.settings, '.through=', '.gradient='), '.lessons=', '.training_images=') AS settings, -- names of today
       a.n AS images,
       a.certified AS certified,
       a.broken AS broken,
       a.unbroken AS unbroken,
       a.published_broken AS published_broken,
       a.delta / 1048576.0 AS delta,
       a.witness AS witness,
       a.finished AS finished
  FROM audit a
  JOIN cell c ON c.cell = a.cell;
