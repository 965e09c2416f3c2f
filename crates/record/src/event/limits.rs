//! Limits of an event. Lengths count bytes of the decoded UTF-8 text unless said otherwise.

/// What an event may hold at most. [`Limits::default`] is what the server uses unless configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The event's JSON text without insignificant white space. Default 256 KiB.
    ///
    /// A text with white space may be up to four times as long.
    pub event_bytes_max: usize,
    /// Nesting of a free-form value; a scalar has depth 0. Default 32; more than [`FREE_FORM_DEPTH_MAX`] counts as
    /// that.
    pub free_form_depth_max: usize,
    /// `id`, `type` and other identifying strings. Default 256.
    pub id_bytes_max: usize,
    /// `name`, `service`, `version`, `instance`, `environment`, `location`. Default 512.
    pub name_bytes_max: usize,
    /// `actor.email`. Default 320.
    pub email_bytes_max: usize,
    /// `context.host`. Default 253, the longest domain name.
    pub host_bytes_max: usize,
    /// `context.user_agent`. Default 2048.
    pub user_agent_bytes_max: usize,
    /// `context.http.path` and `changes[].path`. Default 2048.
    pub path_bytes_max: usize,
    /// `action`. Default 128.
    pub action_bytes_max: usize,
    /// `justification`. Default 2048.
    pub justification_bytes_max: usize,
    /// `outcome_reason.message`. Default 4096.
    pub reason_message_bytes_max: usize,
    /// `idempotency_key`. Default 128.
    pub idempotency_key_bytes_max: usize,
    /// Elements of `targets`. Default 64.
    pub targets_max: usize,
    /// Minified `targets[].attributes`. Default 16 KiB.
    pub attributes_bytes_max: usize,
    /// Elements of `changes`. Default 256.
    pub changes_max: usize,
    /// Minified `changes[].old` and `changes[].new`, each. Default 64 KiB.
    pub change_bytes_max: usize,
    /// Elements of `data_subjects`. Default 32, which is also the most the encoding can hold.
    pub data_subjects_max: usize,
    /// Elements of `data_subjects[].fields`. Default 64.
    pub subject_fields_max: usize,
    /// Elements of `data_categories`. Default 32.
    pub data_categories_max: usize,
    /// Minified `metadata`. Default 64 KiB.
    pub metadata_bytes_max: usize,
    /// Members of `metadata`. Default 256.
    pub metadata_keys_max: usize,
    /// Minified `payload`. Default 256 KiB.
    pub payload_bytes_max: usize,
    /// How far `occurred_at` may lie ahead of the server's clock, in milliseconds. Default 5 minutes.
    pub future_ms_max: u64,
}

/// The deepest nesting of a free-form value, whatever [`Limits`] say, so that every reader of stored bytes can follow.
pub const FREE_FORM_DEPTH_MAX: usize = 64;

/// The most `data_subjects` that the encoding of groups can hold, whatever [`Limits`] say.
pub const DATA_SUBJECTS_MAX: usize = 32;

impl Limits {
    /// The default limits.
    pub const DEFAULT: Self = Self {
        event_bytes_max: 256 * 1024,
        free_form_depth_max: 32,
        id_bytes_max: 256,
        name_bytes_max: 512,
        email_bytes_max: 320,
        host_bytes_max: 253,
        user_agent_bytes_max: 2048,
        path_bytes_max: 2048,
        action_bytes_max: 128,
        justification_bytes_max: 2048,
        reason_message_bytes_max: 4096,
        idempotency_key_bytes_max: 128,
        targets_max: 64,
        attributes_bytes_max: 16 * 1024,
        changes_max: 256,
        change_bytes_max: 64 * 1024,
        data_subjects_max: DATA_SUBJECTS_MAX,
        subject_fields_max: 64,
        data_categories_max: 32,
        metadata_bytes_max: 64 * 1024,
        metadata_keys_max: 256,
        payload_bytes_max: 256 * 1024,
        future_ms_max: 5 * 60 * 1000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
