//! Projection: of each event, only the fields that were asked for.
//!
//! Refusals as problem documents; the work is done by [`attestore_export::fields`].

use crate::problem::Problem;

/// The fields that were asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Fields(attestore_export::Fields);

impl Fields {
    /// Checks the paths.
    ///
    /// # Errors
    /// 400 `invalid_fields` for too many or an unknown one, with the nearest known one.
    pub fn new(paths: Vec<String>) -> Result<Self, Problem> {
        attestore_export::Fields::new(paths).map(Self).map_err(|error| {
            let mut problem = Problem::bad_request("invalid_fields", error.message);
            problem.path = Some(error.path);
            problem.suggestion = error.suggestion.map(Into::into);
            problem
        })
    }

    /// Keeps of an event what was asked for; `{}` if nothing of it is there.
    ///
    /// # Errors
    /// When the text is not a JSON object.
    pub fn project(&self, event: &str) -> serde_json::Result<String> {
        self.0.project(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_with_their_place_and_the_nearest() {
        let problem = Fields::new(vec!["action".into(), "ip".into()]).unwrap_err();
        assert_eq!(problem.code, "invalid_fields");
        assert_eq!(problem.path.as_deref(), Some("/fields/1"));
        assert_eq!(problem.suggestion.as_deref(), Some("context.ip"));
    }
}
