//! Several databases that all accept writes: what they hold after meeting, whoever met whom and when.

mod group;

mod columns;
mod conflicts;
mod convergence;
mod copies;
mod first_contact;
mod foreign_keys;
mod journal;
mod locks;
mod meetings;
mod parts;
mod seals;
mod times;
mod uniques;
