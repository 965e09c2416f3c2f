//! The table of detectors: their stable names and what a hit says about.

use std::fmt;

/// What a detector's hits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Opens something to whoever holds it: keys, tokens, passwords.
    Secret,
    /// A number of a payment card or account.
    Payment,
    /// Names or reaches a person.
    Person,
    /// An address of a device.
    Device,
}

macro_rules! detectors {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $family:ident;)+) => {
        /// One kind of value that is looked for. The name ([`Detector::as_str`]) is part of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Detector { $($(#[$doc])* $variant),+ }

        impl Detector {
            /// Every detector. Where hits overlap, the first one named here names what takes their place.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the stable snake_case name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Returns the detector of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }

            /// Returns what its hits are.
            pub const fn family(self) -> Family {
                match self { $(Self::$variant => Family::$family),+ }
            }
        }
    };
}

detectors! {
    /// A private key in PEM.
    PrivateKey = "private_key", Secret;
    /// A signed JSON web token.
    Jwt = "jwt", Secret;
    /// An id of an AWS access key. It opens nothing by itself.
    AwsKeyId = "aws_key_id", Device;
    /// A secret access key of AWS, where the context says so.
    AwsSecretKey = "aws_secret_key", Secret;
    /// An API key or OAuth token of Google.
    GcpKey = "gcp_key", Secret;
    /// A token of GitHub.
    GithubToken = "github_token", Secret;
    /// A token or webhook of Slack.
    SlackToken = "slack_token", Secret;
    /// A live key of Stripe.
    StripeKey = "stripe_key", Secret;
    /// An account key, shared access signature or client secret of Azure.
    AzureKey = "azure_key", Secret;
    /// A password or token in a URL.
    UrlCredentials = "url_credentials", Secret;
    /// Bearer or basic credentials of HTTP.
    HttpCredentials = "http_credentials", Secret;
    /// A number of a payment card.
    PaymentCard = "payment_card", Payment;
    /// An international bank account number.
    Iban = "iban", Payment;
    /// An e-mail address.
    Email = "email", Person;
    /// A telephone number.
    Phone = "phone", Person;
    /// A social security number of the United States.
    UsSsn = "us_ssn", Person;
    /// A national insurance number of the United Kingdom.
    UkNino = "uk_nino", Person;
    /// A social security number of France.
    FrNir = "fr_nir", Person;
    /// A citizen service number of the Netherlands.
    NlBsn = "nl_bsn", Person;
    /// A tax id of Germany.
    DeSteuerId = "de_steuer_id", Person;
    /// A DNI or NIE of Spain.
    EsDni = "es_dni", Person;
    /// A tax code of Italy.
    ItCodiceFiscale = "it_codice_fiscale", Person;
    /// A PESEL of Poland.
    PlPesel = "pl_pesel", Person;
    /// A national register number of Belgium.
    BeNrn = "be_nrn", Person;
    /// A CPF of Brazil.
    BrCpf = "br_cpf", Person;
    /// An IPv4 address that is neither loopback nor unspecified.
    Ipv4 = "ipv4", Device;
    /// An IPv6 address that is neither loopback nor unspecified.
    Ipv6 = "ipv6", Device;
    /// A MAC address.
    Mac = "mac", Device;
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How sure a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// It has the shape, and other values have it too.
    Suspected,
    /// Check digits, a shape that nothing else has, or the context leave little doubt.
    Sure,
}

impl Confidence {
    /// Returns the text used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Sure => "sure",
        }
    }

    /// Sure in context, else suspected.
    pub(crate) const fn by(context: bool) -> Self {
        if context { Self::Sure } else { Self::Suspected }
    }
}

/// A set of detectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct Detectors(u32);

const _: () = assert!(Detector::ALL.len() <= u32::BITS as usize);

impl Detectors {
    /// Every detector.
    pub const ALL: Self = Self(u32::MAX >> (u32::BITS as usize - Detector::ALL.len()));
    /// None.
    pub const NONE: Self = Self(0);

    /// Adds a detector.
    #[must_use]
    pub const fn with(self, detector: Detector) -> Self {
        Self(self.0 | 1 << detector as u32)
    }

    /// Tells whether a detector is in the set.
    pub const fn has(self, detector: Detector) -> bool {
        self.0 & 1 << detector as u32 != 0
    }

    /// Tells whether any of these is in the set.
    pub fn has_any(self, detectors: &[Detector]) -> bool {
        detectors.iter().any(|detector| self.has(*detector))
    }

    /// Tells whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns what is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
