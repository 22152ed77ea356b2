//! Tests of the PostgreSQL connector on real servers.
