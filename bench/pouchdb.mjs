// What PouchDB takes to bring two stores in step that were both written to.
//
// Usage: node pouchdb.mjs MODULES make FOLDER ROWS: two stores with the same ROWS documents, which have met.
// node pouchdb.mjs MODULES meet FOLDER ROWS CHANGES: writes what `mixed` in src/rows.rs writes to one of them and
// `mixed-elsewhere` to the other, then replicates both ways at once until nothing is left. Documents hold what rows do.
// Prints one line of JSON: the seconds that this took, and how many documents were written. Its stores are not flushed.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, work, folder, ...sizes] = process.argv.slice(2);
const [rows, changes] = sizes.map(Number);
const PouchDB = createRequire(join(modules, "package.json"))("pouchdb");
const BATCH = 1000;
// Measured: larger batches than the 100 that it takes by itself are faster.
const REPLICATION = { batch_size: BATCH, batches_limit: 10 };

const store = (name) => new PouchDB(join(folder, name));
const id = (number) => String(number).padStart(12, "0");
const hex = (number) => number.toString(16).padStart(32, "0");
const inserted = (number, i) => ({
  _id: id(number), name: "n" + hex(i), doc: { k: 1, tag: hex(i) }, at: "2026-06-01 00:00:00", amount: i / 100,
});

async function inStep(one, other) {
  const result = await one.sync(other, REPLICATION);
  if (result.push.errors.length || result.pull.errors.length) throw new Error("errors while replicating");
  return result.push.docs_written + result.pull.docs_written;
}

async function make() {
  const [one, other] = [store("one"), store("other")];
  for (let from = 1; from <= rows; from += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, rows - from + 1) }, (_, at) => from + at);
    await one.bulkDocs(numbers.map((number) => inserted(number, number)));
  }
  await inStep(one, other);
  await Promise.all([one.close(), other.close()]);
}

const scattered = (i) => ((i * 7919) % Math.floor((rows * 9) / 10)) + 1;
const deletedAfter = (part) => (i) => Math.floor(rows * part) + Math.floor(i / 10) + 1;

// 60 inserts, 30 updates and 10 deletes in a hundred.
async function write(db, insertedAfter, tag, updated, deleted) {
  for (let from = 1; from <= changes; from += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, changes - from + 1) }, (_, at) => from + at);
    const number = (i) => (i % 10 < 9 ? updated(i) : deleted(i));
    const there = batch.filter((i) => i % 10 >= 6).map((i) => id(number(i)));
    const found = new Map();
    for (const row of (await db.allDocs({ keys: there, include_docs: true })).rows) {
      if (row.doc) found.set(row.key, row.doc);
    }
    const docs = batch.map((i) => {
      if (i % 10 < 6) return inserted(insertedAfter + i, i);
      const before = found.get(id(number(i)));
      if (!before) return null;
      if (i % 10 === 9) return { _id: before._id, _rev: before._rev, _deleted: true };
      return { ...before, doc: { k: 2, tag: hex(i + tag) }, amount: before.amount + 1 };
    });
    const failed = (await db.bulkDocs(docs.filter(Boolean))).filter((one) => one.error);
    if (failed.length) throw new Error(`not written: ${JSON.stringify(failed[0])}`);
  }
}

// Every document with its winning revision.
async function digest(db) {
  const hash = createHash("sha256");
  let [count, startkey] = [0, undefined];
  for (;;) {
    const options = startkey === undefined ? {} : { startkey, skip: 1 };
    const page = (await db.allDocs({ ...options, limit: 10_000 })).rows;
    if (!page.length) return `${count} ${hash.digest("hex")}`;
    for (const row of page) hash.update(`${row.id} ${row.value.rev}\n`);
    [count, startkey] = [count + page.length, page.at(-1).key];
  }
}

async function meet() {
  const [one, other] = [store("one"), store("other")];
  await write(one, rows, 0, scattered, deletedAfter(0.9));
  await write(other, rows + changes, changes, (i) => scattered(i % 100 === 6 ? i : i + 5), deletedAfter(0.95));
  const start = performance.now();
  const written = await inStep(one, other);
  const seconds = (performance.now() - start) / 1000;
  const [here, there] = [await digest(one), await digest(other)];
  if (here !== there) throw new Error(`the two differ: ${here}, ${there}`);
  console.log(JSON.stringify({ seconds, written }));
  await Promise.all([one.close(), other.close()]);
}

await { make, meet }[work]();
