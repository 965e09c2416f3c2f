//! Where a key hangs in the tree, and what it is bound to.

/// Slots in one leaf page, and children of one interior page.
pub const SLOTS_PER_PAGE: u64 = 64;
/// The level of the highest possible root page.
pub(super) const HEIGHT_MAX: u8 = 7;
/// One past the highest slot number that a tree of [`HEIGHT_MAX`] holds.
pub(super) const SLOT_END: u64 = 1 << (BITS * (HEIGHT_MAX as u32 + 1));
/// Bits of a slot number that one level resolves.
const BITS: u32 = 6;

const _: () = assert!(1 << BITS == SLOTS_PER_PAGE);
const _: () = assert!(BITS * (HEIGHT_MAX as u32 + 1) <= 56);

/// The number of a key, sequential, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

impl Slot {
    /// The leaf page that holds this slot.
    pub fn page(self) -> PageId {
        PageId(self.0 / SLOTS_PER_PAGE)
    }

    /// Index, among the pages of `level`, of the page on the path to this slot.
    pub(super) fn index_at(self, level: u8) -> u64 {
        self.0.checked_shr(BITS * (u32::from(level) + 1)).unwrap_or(0)
    }

    /// Position, in the page of `level` on the path, of the entry that leads to this slot.
    pub(super) fn position_at(self, level: u8) -> usize {
        position(self.0.checked_shr(BITS * u32::from(level)).unwrap_or(0))
    }

    /// The page of `level` on the path to this slot.
    pub(super) fn page_at(self, level: u8) -> PageId {
        PageId::new(level, self.index_at(level))
    }
}

/// Names a page: level (0 is a leaf) in the highest byte, index within the level in the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

impl PageId {
    pub(super) fn new(level: u8, index: u64) -> Self {
        debug_assert!(index < 1 << 56, "a page index has 56 bits");
        Self((u64::from(level) << 56) | index)
    }

    /// Levels above the leaves.
    pub fn level(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Index within the level.
    pub fn index(self) -> u64 {
        self.0 & ((1 << 56) - 1)
    }

    /// The page above this one.
    pub(super) fn parent(self) -> Self {
        Self::new(self.level() + 1, self.index() / SLOTS_PER_PAGE)
    }

    /// Position of this page's key in its parent.
    pub(super) fn position(self) -> usize {
        position(self.index())
    }

    /// The page one level below whose key is at `position` of this one.
    pub(super) fn child(self, position: usize) -> Self {
        Self::new(self.level() - 1, self.index() * SLOTS_PER_PAGE + position as u64)
    }
}

fn position(number: u64) -> usize {
    usize::from((number % SLOTS_PER_PAGE).to_le_bytes()[0])
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SlotKind {
    /// A tenant's key.
    TenantKey = 1,
    /// The key of a file of the write-ahead log.
    WalFile = 2,
    /// The key of a sealed file.
    SealedFile = 3,
    /// The seed of a signing key.
    Signing = 4,
    /// The key of a directory of data subjects.
    Directory = 5,
    /// A data subject's key.
    Subject = 6,
    /// The key of a part of a shared sealed file.
    Part = 7,
    /// Anything else; the owner tells what.
    Other = 8,
}

impl SlotKind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::TenantKey,
            2 => Self::WalFile,
            3 => Self::SealedFile,
            4 => Self::Signing,
            5 => Self::Directory,
            6 => Self::Subject,
            7 => Self::Part,
            8 => Self::Other,
            _ => return None,
        })
    }
}

/// What a slot's key is bound to: asked for under any other context, it is not handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotContext {
    /// What the key is for.
    pub kind: SlotKind,
    /// The tenant it belongs to; zeros for keys of the instance.
    pub tenant: [u8; 16],
    /// What it belongs to within the tenant: a file id, a subject's handle.
    pub owner: [u8; 16],
}

impl SlotContext {
    pub(super) const LEN: usize = 1 + 8 + 16 + 16;

    /// kind ‖ slot u64 LE ‖ tenant ‖ owner.
    pub(super) fn bytes(&self, slot: Slot) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = self.kind as u8;
        bytes[1..9].copy_from_slice(&slot.0.to_le_bytes());
        bytes[9..25].copy_from_slice(&self.tenant);
        bytes[25..].copy_from_slice(&self.owner);
        bytes
    }
}
