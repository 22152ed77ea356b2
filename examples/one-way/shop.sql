-- The database of a shop with two stores.
CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price NUMERIC, cost NUMERIC);
CREATE TABLE stock(
  store INTEGER NOT NULL, product INTEGER NOT NULL REFERENCES products(id), quantity INTEGER NOT NULL,
  PRIMARY KEY (store, product));
INSERT INTO products VALUES (1, 'Anchor', 95, 60), (2, 'Buoy', 40, 22), (3, 'Chart', 12, 5);
INSERT INTO stock VALUES (1, 1, 4), (1, 2, 10), (2, 2, 6), (2, 3, 25);
