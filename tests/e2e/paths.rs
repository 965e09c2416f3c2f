//! Paths of routes, with something in each place that a template leaves open.

use attestore_http::Row;

/// A path of the row in a tenant. Nothing that it names beside the tenant needs to be there, but record 0.
pub fn path(row: &Row, tenant: &str) -> String {
    let mut path = row.path.clone();
    for (name, value) in [
        ("{tenant}", tenant),
        ("{index}", tenant),
        ("{*tile}", "0/000"),
        ("{record}", "0"),
        ("{credential}", "abcdefghijkl"),
        ("{search}", ID),
        ("{hold}", ID),
        ("{approval}", ID),
        ("{class}", "7"),
        ("{export}", ID),
        ("{purge}", ID),
        ("{erasure}", ID),
        ("{restriction}", ID),
        ("{access_request}", ID),
        ("{backup}", ID),
        ("{move}", ID),
        ("{number}", "1"),
        ("{name}", "manifest.json"),
        ("{id}", "0"),
    ] {
        path = path.replace(name, value);
    }
    assert!(!path.contains('{'), "{path}: give it a value here");
    path
}

const ID: &str = "00112233445566778899aabbccddeeff";
