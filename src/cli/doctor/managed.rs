//! Other programs that manage interfaces, and would take addresses or routes of ours away when they start anew.

use std::fs;
use std::path::Path;

use super::finding::Finding;
use super::scene::Scene;
use crate::codes::Code;

/// Looks at who manages the interfaces.
pub(super) fn look(scene: &Scene) -> Vec<Finding> {
    let on = |interface: &str| {
        let index = scene.link(interface)?.index.0;
        Some(managed(Path::new("/"), interface, index))
    };
    scene.interfaces().into_iter().filter_map(on).collect()
}

/// Who manages it, as their files below `root` say.
fn managed(root: &Path, interface: &str, index: u32) -> Finding {
    let code = Code::Managed;
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let network = read(&format!("run/systemd/netif/links/{index}"));
    let file = network.as_deref().and_then(|text| value(text, "NETWORK_FILE"));
    if let Some(file) = file {
        let settings = read(file.trim_start_matches('/')).unwrap_or_default();
        if matches!(value(&settings, "KeepConfiguration"), Some("yes" | "static")) {
            return Finding::good(code, interface, format!("systemd-networkd keeps what is there: {file}"));
        }
        let what = "systemd-networkd manages it, and removes addresses that it does not know when it starts anew; the agent puts \
             them back";
        let remedy = format!("networkctl edit {}   # [Network] KeepConfiguration=static", short(file));
        return Finding::advice(code, interface, what).remedy(remedy);
    }
    let device = read(&format!("run/NetworkManager/devices/{index}"));
    if device.as_deref().and_then(|text| value(text, "managed")) == Some("true") {
        let what = "NetworkManager manages it, and removes addresses that it does not know at 'nmcli device reapply' or \
                    when a connection comes up; the agent puts them back";
        let remedy = format!("nmcli device set {interface} managed no   # if nothing else needs it");
        return Finding::advice(code, interface, what).remedy(remedy);
    }
    Finding::good(code, interface, "neither systemd-networkd nor NetworkManager manages it")
}

fn short(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(name, value)| (name.trim(), value.trim()))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn whoever_manages_an_interface_is_named() {
        let root = std::env::temp_dir().join(format!("vipd-managers-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let verdict = |index| managed(&root, "eth0", index).verdict;
        assert_eq!(verdict(2), Verdict::Good);
        write("run/NetworkManager/devices/3", "[device]\nmanaged=true\n");
        assert_eq!(verdict(3), Verdict::Advice);
        write("run/NetworkManager/devices/4", "[device]\nmanaged=false\n");
        assert_eq!(verdict(4), Verdict::Good);
        write(
            "run/systemd/netif/links/5",
            "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/a.network\n",
        );
        assert_eq!(verdict(5), Verdict::Advice);
        write("etc/systemd/network/a.network", "[Network]\nKeepConfiguration = static\n");
        assert_eq!(verdict(5), Verdict::Good);
        fs::remove_dir_all(root).unwrap();
    }
}
