//! The allow-listed paths of a policy, ready to be met while a record is walked.

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::IndexPolicy;

/// The paths of a policy, by index.
pub(crate) struct Paths {
    all: Arc<[String]>,
    by_path: HashMap<String, usize>,
}

impl Paths {
    pub(crate) fn new(policy: &IndexPolicy) -> Self {
        Self {
            all: policy.paths.clone().into(),
            by_path: policy.paths.iter().cloned().zip(0..).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn all(&self) -> Arc<[String]> {
        Arc::clone(&self.all)
    }

    /// Tells whether there is a path into a free-form value.
    pub(crate) fn lead_into(&self, root: &str) -> bool {
        !root.is_empty() && self.all.iter().any(|path| beneath(path, root))
    }

    /// The index of this very path.
    pub(crate) fn at(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// The indices of paths that this one is beneath.
    pub(crate) fn above<'p>(&'p self, path: &'p str) -> impl Iterator<Item = usize> + 'p {
        let ends = path.match_indices('.').map(|(end, _)| end);
        ends.filter_map(|end| self.at(path.get(..end)?))
    }

    /// The index of the path of a JSON pointer; indices of arrays are no part of a path.
    pub(crate) fn at_pointer(&self, pointer: &str) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let mut path = String::with_capacity(pointer.len());
        for segment in pointer.strip_prefix('/')?.split('/') {
            if segment.is_empty() || !segment.bytes().all(|byte| byte.is_ascii_digit()) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&segment.replace("~1", "/").replace("~0", "~"));
            }
        }
        self.at(&path)
    }
}

fn beneath(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::Paths;
    use crate::policy::IndexPolicy;

    fn paths() -> Paths {
        Paths::new(&IndexPolicy {
            paths: ["metadata.a", "payload.a", "payload.a.b/c", "targets.attributes.x"]
                .map(str::to_owned)
                .to_vec(),
            ..IndexPolicy::default()
        })
    }

    #[test]
    fn paths_are_found_exactly_and_from_beneath() {
        let paths = paths();
        assert_eq!(paths.at("payload.a"), Some(1));
        assert_eq!(paths.at("payload"), None);
        assert_eq!(paths.above("payload.a.b/c.d").collect::<Vec<_>>(), [1, 2]);
        assert_eq!(paths.above("payload.ab").count(), 0);
        assert!(paths.lead_into("targets.attributes") && !paths.lead_into("change") && !paths.lead_into(""));
    }

    #[test]
    fn pointers_lead_to_paths() {
        let paths = paths();
        assert_eq!(paths.at_pointer("/payload/a/0/b~1c"), Some(2));
        assert_eq!(paths.at_pointer("/targets/3/attributes/x/1"), Some(3));
        assert_eq!(paths.at_pointer("/metadata"), None);
        assert_eq!(paths.at_pointer(""), None);
    }
}
