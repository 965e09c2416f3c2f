//! Start, stop and changed settings.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    Engine, Opened,
    catalog::{Catalog, json as parsed, storage, tables},
    error::{Error, Result},
};

impl Engine {
    /// Records that the server starts, what recovery found, and which settings changed since the last start. Durable on
    /// return.
    ///
    /// `settings` are all keys and values in force. Of values only one hash over all is recorded, and keyed hashes of each
    /// are kept to compare with; neither can be turned back into a secret by who lacks the data directory's keys.
    ///
    /// # Errors
    /// As appends. Whoever cannot record this cannot record what is asked for either, and answers nothing.
    pub fn record_start(
        &self,
        version: &str,
        settings: &BTreeMap<String, String>,
        opened: &Opened,
    ) -> Result<()> {
        let key = self.settings_key()?;
        let of = |name: &str, value: &str| {
            let hash = blake3::keyed_hash(&key, format!("{name}\0{value}").as_bytes());
            crate::catalog::hex(&hash.as_bytes()[..16])
        };
        let hashes: BTreeMap<_, _> = settings
            .iter()
            .map(|(name, value)| (name.clone(), of(name, value)))
            .collect();
        let before = stored(&self.inner.catalog)?;
        let names = hashes.keys().chain(before.iter().flat_map(BTreeMap::keys));
        let changed: std::collections::BTreeSet<_> = match &before {
            Some(before) => names
                .filter(|name| before.get(*name) != hashes.get(*name))
                .collect(),
            None => std::collections::BTreeSet::new(),
        };
        let text = serde_json::to_vec(&hashes).map_err(|error| Error::Io(error.to_string()))?;
        let all = crate::catalog::hex(blake3::keyed_hash(&key, &text).as_bytes());
        let found = &opened.recovered;
        if !changed.is_empty() {
            self.note(&json!({
                "action": "settings.change", "operation": "update", "actor": SERVER,
                "metadata": { "settings": all, "changed": changed },
            }))?;
        }
        self.note(&json!({
            "action": "server.start", "operation": "other", "actor": SERVER,
            "metadata": {
                "version": version,
                "settings": all,
                "created": opened.created,
                "replayed_frames": found.frames,
                "replayed_records": found.records,
                "torn_bytes": found.torn.as_ref().map(|torn| torn.bytes),
                "leftovers": found.strays.len(),
                "warnings": opened.warnings.len(),
            },
        }))?;
        if before.as_ref() != Some(&hashes) {
            self.inner.catalog.update(|update| {
                let mut table = update.txn().open_table(tables::META).map_err(storage)?;
                table.insert(SETTINGS, text.as_slice()).map_err(storage)?;
                Ok::<_, Error>(())
            })?;
        }
        Ok(())
    }

    /// Records that another provider holds the root from now on. Durable on return.
    ///
    /// # Errors
    /// As appends.
    pub fn record_root_moved(&self, from: &str) -> Result<()> {
        let to = self.inner.root.provider().name();
        self.note(&json!({
            "action": "root.move", "operation": "update", "actor": SERVER,
            "metadata": { "from": from, "to": to, "generation": self.inner.root.generation() },
        }))
    }

    /// Records that somebody opened the root of a server that had started sealed, from which address, and how many wrong secrets were
    /// tried before. Durable on return.
    ///
    /// # Errors
    /// As appends.
    pub fn record_unsealed(&self, address: Option<std::net::IpAddr>, refused: u32) -> Result<()> {
        let mut event = json!({
            "action": "server.unseal", "operation": "other", "actor": SERVER,
            "metadata": { "refused": refused },
        });
        if let Some(address) = address {
            event["context"] = json!({ "ip": address.to_string() });
        }
        self.note(&event)
    }

    /// Records that the server was told to stop. Durable on return.
    ///
    /// # Errors
    /// As appends.
    pub fn record_stop(&self) -> Result<()> {
        self.note(&json!({ "action": "server.stop", "operation": "other", "actor": SERVER }))
    }

    fn note(&self, event: &serde_json::Value) -> Result<()> {
        let mut event = event.clone();
        if event["actor"] == SERVER {
            event["actor"] = json!({ "type": SERVER, "id": "internal" });
        }
        self.inner.append_internal(event.to_string().as_bytes())
    }

    /// A key of this instance, so that hashes of short values say nothing to others.
    fn settings_key(&self) -> Result<[u8; 32]> {
        let system = self.inner.tenant(crate::SYSTEM_TENANT)?;
        let key = attestore_keys::derive(
            "attestore 2026 settings hash v1",
            &[system.keys.directory.expose()],
        );
        Ok(*key.expose())
    }
}

fn stored(catalog: &Catalog) -> Result<Option<BTreeMap<String, String>>> {
    let txn = catalog.read()?;
    let table = txn.open_table(tables::META).map_err(storage)?;
    let row = table.get(SETTINGS).map_err(storage)?;
    row.map(|bytes| parsed(bytes.value())).transpose()
}

const SERVER: &str = "server";
/// Keyed hashes of the settings of the last start, in [`tables::META`].
const SETTINGS: &str = "settings";
