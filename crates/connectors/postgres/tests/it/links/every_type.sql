CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE every(
  id bigint PRIMARY KEY, note text, b boolean, i2 smallint, i4 int, f4 real, f8 double precision, n numeric, n2 numeric(10, 3),
  v varchar(20), c char(5), raw bytea, d date, t time, tz timetz, ts timestamp, tstz timestamptz, iv interval, u uuid, j json, jb jsonb,
  arr int[], texts text[][], r int4range, tr tstzrange, m mood, ms mood[], dom positive, ip inet, net cidr, mac macaddr, bits bit(5), vb varbit,
  vec tsvector, x money, p point, pr pair, g bigint GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO every(id) VALUES (1);
INSERT INTO every VALUES (2, E'tab\t nl\n back\\ quote'' é', true, -32768, 2147483647, 1.1754944e-38, 1e-320, 'NaN', 1234567.891,
  'x', 'ab', '\x00ff5c', '0044-03-15 BC', '24:00:00', '12:00:00+05:30', '294276-12-31 23:59:59.999999', '4714-11-24 00:00:00+00 BC',
  '-1 year 2 mons -3 days 04:05:06.789', '00000000-0000-0000-0000-000000000001', '{"a": 1,  "a":2}', '{"b": [1, null]}',
  '{1,NULL,-3}', '{{a,"b c"},{NULL,"d\"e"}}', '[1,5)', '[2026-01-01,)', 'calm', '{calm,cross}', 7, '10.0.0.1/8', '10.0.0.0/8',
  '08:00:2b:01:02:03', B'10101', B'1', 'a fat cat', 12.34, '(1.5,-2)', ROW(1, 'a"b'));
INSERT INTO every VALUES (3, '', false, 32767, -2147483648, 'Infinity', '-Infinity', 123456789012345678901234567890.123456789012345678901234567890, 0,
  '', '', '', 'infinity', '00:00:00', '00:00:00-15:59', '-infinity', 'infinity', '0', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'null', '"x"',
  '{}', '{}', 'empty', '(,)', 'cross', '{}', 1, '::1', '::/0', 'ff:ff:ff:ff:ff:ff', B'00000', B'', '', -0.01, '(0,0)', ROW(NULL, ''));
INSERT INTO every(id, f4, f8, n, n2, arr) VALUES (4, 'NaN', 'NaN', '-Infinity', -0.001, '[0:2]={1,2,3}'), (5, -0.0, -0.0, 0.000, 1.5, NULL),
  (6, 0.1, 0.1, 1e100, NULL, '{{1,2},{3,4}}'), (7, 16777216, 5.684341886080802e-14, 1.50, NULL, NULL);
