//! What the server says of itself, and which version of the API is spoken with it.

use crate::xml::{Element, parse};
use crate::{Error, Mor};

/// The API version whose types this client knows. Only fields that exist in it are sent, and a
/// newer server answers with the types of this version.
const KNOWN: &str = "7.0.3.0";

/// What vCenter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Such as `VMware vCenter Server`.
    pub name: String,
    /// With version and build.
    pub full_name: String,
    /// Such as `8.0.3`.
    pub version: String,
    /// Such as `8.0.3.0`.
    pub api_version: String,
    /// Such as `24022515`.
    pub build: String,
    /// The identity of this vCenter: ids of objects are unique within it.
    pub instance_uuid: String,
}

/// The managed objects that every vCenter has once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// See there.
    pub about: About,
    /// The root of the inventory.
    pub root_folder: Mor,
    pub(crate) property_collector: Mor,
    pub(crate) view_manager: Mor,
    pub(crate) session_manager: Mor,
    pub(crate) search_index: Mor,
    /// Its property `recentTask` lists the tasks of the last minutes.
    pub task_manager: Mor,
    pub(crate) custom_fields_manager: Mor,
    pub(crate) authorization_manager: Mor,
}

impl Service {
    /// Reads the answer to `RetrieveServiceContent`.
    pub(crate) fn read(content: &Element) -> Result<Service, Error> {
        let about = |path: &str| content.text_at(&format!("about.{path}")).unwrap_or_default().to_owned();
        if about("apiType") != "VirtualCenter" {
            return Err(Error::Config(format!("{} is no vCenter", about("fullName"))));
        }
        let object = |name: &str| {
            let mor = content.get(name).and_then(Element::mor);
            mor.ok_or_else(|| Error::Protocol(format!("the service content has no {name}")))
        };
        Ok(Service {
            about: About {
                name: about("name"),
                full_name: about("fullName"),
                version: about("version"),
                api_version: about("apiVersion"),
                build: about("build"),
                instance_uuid: about("instanceUuid"),
            },
            root_folder: object("rootFolder")?,
            property_collector: object("propertyCollector")?,
            view_manager: object("viewManager")?,
            session_manager: object("sessionManager")?,
            search_index: object("searchIndex")?,
            task_manager: object("taskManager")?,
            custom_fields_manager: object("customFieldsManager")?,
            authorization_manager: object("authorizationManager")?,
        })
    }
}

/// The version to speak: the lower of the server's own and [`KNOWN`]. A server that does not list
/// its versions is taken to know ours.
pub(crate) fn negotiate(versions_xml: Option<&str>) -> Result<String, Error> {
    let Some(text) = versions_xml else { return Ok(KNOWN.to_owned()) };
    let document = parse(text)?;
    let namespace = document.all("namespace").find(|n| n.text_at("name") == Some("urn:vim25"));
    let server = namespace.and_then(|n| n.text_at("version"));
    let server =
        server.ok_or_else(|| Error::Protocol("the server lists no version of urn:vim25".into()))?.trim();
    Ok(if numbers(server) < numbers(KNOWN) { server.to_owned() } else { KNOWN.to_owned() })
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::negotiate;

    #[test]
    fn the_lower_version_is_spoken() {
        let xml = |v: &str| {
            format!(
                "<namespaces><namespace><name>urn:internalvim25</name><version>1.0</version></namespace>\
                 <namespace><name>urn:vim25</name><version>{v}</version><priorVersions><version>6.5</version>\
                 </priorVersions></namespace></namespaces>"
            )
        };
        for (server, spoken) in [
            ("8.0.3.0", "7.0.3.0"),
            ("7.0.3.0", "7.0.3.0"),
            ("7.0.2.0", "7.0.2.0"),
            ("7.0", "7.0"),
            ("10.0.0.0", "7.0.3.0"),
        ] {
            assert_eq!(negotiate(Some(&xml(server))).unwrap(), spoken, "{server}");
        }
        assert_eq!(negotiate(None).unwrap(), "7.0.3.0");
        assert!(negotiate(Some("<namespaces/>")).is_err());
    }
}
