-- Version 6: how many images of an attack with a target predict it. NULL: not counted.

-- Attacked images whose label is not the target of their attack, and those of them that predict it under attack; under the checksum
-- where they are not NULL.
ALTER TABLE summary ADD COLUMN targeted INTEGER CHECK (targeted BETWEEN 0 AND attacked_n);
ALTER TABLE summary ADD COLUMN reached INTEGER CHECK (reached BETWEEN 0 AND targeted);

-- Sums of these, as in version 5.
ALTER TABLE total ADD COLUMN targeted INTEGER NOT NULL DEFAULT 0 CHECK (targeted BETWEEN 0 AND attacked_n);
ALTER TABLE total ADD COLUMN reached INTEGER NOT NULL DEFAULT 0 CHECK (reached BETWEEN 0 AND targeted);
ALTER TABLE total ADD COLUMN reached_lo REAL;
ALTER TABLE total ADD COLUMN reached_hi REAL;

DROP VIEW result;
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
       CASE WHEN t.targeted > 0 THEN t.targeted END AS targeted_n,
       CASE WHEN t.targeted > 0 THEN t.reached END AS reached_count, 100.0 * t.reached / nullif(t.targeted, 0) AS reached,
       100 * t.reached_lo AS reached_lo, 100 * t.reached_hi AS reached_hi,
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
