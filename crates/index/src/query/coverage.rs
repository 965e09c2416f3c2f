//! What a query needs of a split, and what is left of it where a split lacks that.
//!
//! A query that a split does not answer exactly is relaxed: every condition that the split lacks the terms for gives
//! way to a wider one. Inside of `NOT` it gives way to a narrower one, so that the whole only ever grows. A relaxed
//! query therefore finds every record that the exact one finds, and others besides.

use super::Query;
use super::ast::{Clause, Node};
use crate::policy::{IndexPolicy, TextIndex};

/// How well a split that was built under some policy answers a query.
#[derive(Clone, Debug)]
pub enum Coverage {
    /// The query finds exactly its records.
    Exact,
    /// This query finds all of them, and possibly others: each hit has to be judged by its record.
    Superset(Query),
}

/// The least policy under which a split answers exactly.
pub(crate) fn needs(node: &Node) -> IndexPolicy {
    let mut policy = IndexPolicy::minimal();
    node.for_each(&mut |clause| add(clause, &mut policy));
    policy.paths.sort_unstable();
    policy.paths.dedup();
    policy
}

fn add(clause: &Clause, policy: &mut IndexPolicy) {
    match clause {
        Clause::Word(_) | Clause::WordPrefix(_) => {
            policy.text = policy.text.max(TextIndex::Words);
            policy.metadata = true;
            policy.payload_text = true;
        }
        Clause::Metadata { .. }
        | Clause::MetadataPrefix { .. }
        | Clause::MetadataPresent { .. }
        | Clause::MetadataRange { .. } => policy.metadata = true,
        Clause::Exact { .. }
        | Clause::Prefix { .. }
        | Clause::Present { .. }
        | Clause::Ip(_)
        | Clause::Seq(_)
        | Clause::Occurred(_)
        | Clause::Received(_) => {}
    }
}

/// The query as far as a split under `policy` can answer it; nothing when it can wholly.
pub(crate) fn relax(node: &Node, policy: &IndexPolicy) -> Option<Node> {
    let needs = needs(node);
    (!policy.covers(&needs)).then(|| bound(node, policy, true))
}

/// A node that holds wherever `node` does (`upper`), or only where `node` does.
fn bound(node: &Node, policy: &IndexPolicy, upper: bool) -> Node {
    match node {
        Node::All => Node::All,
        Node::And(nodes) => Node::And(nodes.iter().map(|node| bound(node, policy, upper)).collect()),
        Node::Or(nodes) => Node::Or(nodes.iter().map(|node| bound(node, policy, upper)).collect()),
        Node::Not(inner) => Node::Not(Box::new(bound(inner, policy, !upper))),
        Node::Clause(clause) => {
            let mut needs = IndexPolicy::minimal();
            add(clause, &mut needs);
            match (policy.covers(&needs), upper) {
                (true, _) => node.clone(),
                (false, true) => Node::All,
                (false, false) => Node::Or(Vec::new()),
            }
        }
    }
}
