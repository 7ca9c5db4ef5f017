//! The services that every VDOM has from the start.

use serde_json::{Value, json};

/// Name and comment.
pub(crate) const CATEGORIES: &[(&str, &str)] = &[
    ("General", "General services."),
    ("Web Access", "Web access."),
    ("File Access", "File access."),
    ("Email", "Email services."),
    ("Network Services", "Network services."),
    ("Authentication", "Authentication service."),
    ("Remote Access", "Remote access."),
    ("Tunneling", "Tunneling service."),
    ("VoIP, Messaging & Other Applications", "VoIP, messaging, and other applications."),
    ("Web Proxy", "Explicit web proxy."),
];

/// Name, category, TCP ports, UDP ports.
const PORTS: &[(&str, &str, &str, &str)] = &[
    ("ALL_TCP", "General", "1-65535", ""),
    ("ALL_UDP", "General", "", "1-65535"),
    ("HTTP", "Web Access", "80", ""),
    ("HTTPS", "Web Access", "443", "443"),
    ("FTP", "File Access", "21", ""),
    ("FTP_GET", "File Access", "21", ""),
    ("FTP_PUT", "File Access", "21", ""),
    ("TFTP", "File Access", "", "69"),
    ("AFS3", "File Access", "7000-7009", "7000-7009"),
    ("NFS", "File Access", "111 2049", "111 2049"),
    ("SAMBA", "File Access", "139", ""),
    ("SMB", "File Access", "445", ""),
    ("IMAP", "Email", "143", ""),
    ("IMAPS", "Email", "993", ""),
    ("POP3", "Email", "110", ""),
    ("POP3S", "Email", "995", ""),
    ("SMTP", "Email", "25", ""),
    ("SMTPS", "Email", "465", ""),
    ("DNS", "Network Services", "53", "53"),
    ("NTP", "Network Services", "123", "123"),
    ("DHCP", "Network Services", "", "67-68"),
    ("DHCP6", "Network Services", "", "546-547"),
    ("SNMP", "Network Services", "161-162", "161-162"),
    ("SYSLOG", "Network Services", "", "514"),
    ("BGP", "Network Services", "179", ""),
    ("RIP", "Network Services", "", "520"),
    ("TRACEROUTE", "Network Services", "", "33434-33535"),
    ("KERBEROS", "Authentication", "88 464", "88 464"),
    ("LDAP", "Authentication", "389", ""),
    ("LDAP_UDP", "Authentication", "", "389"),
    ("RADIUS", "Authentication", "", "1812 1813"),
    ("RADIUS-OLD", "Authentication", "", "1645 1646"),
    ("DCE-RPC", "Remote Access", "135", "135"),
    ("RDP", "Remote Access", "3389", ""),
    ("SSH", "Remote Access", "22", ""),
    ("TELNET", "Remote Access", "23", ""),
    ("VNC", "Remote Access", "5900", ""),
    ("X-WINDOWS", "Remote Access", "6000-6063", ""),
    ("PC-Anywhere", "Remote Access", "5631", "5632"),
    ("WINFRAME", "Remote Access", "1494 2598", ""),
    ("IKE", "Tunneling", "", "500 4500"),
    ("L2TP", "Tunneling", "1701", "1701"),
    ("PPTP", "Tunneling", "1723", ""),
    ("SOCKS", "Tunneling", "1080", "1080"),
    ("SQUID", "Tunneling", "3128", ""),
    ("H323", "VoIP, Messaging & Other Applications", "1720 1503", "1719"),
    ("SIP", "VoIP, Messaging & Other Applications", "5060", "5060"),
    ("MMS", "VoIP, Messaging & Other Applications", "1755", "1024-5000"),
    ("RTSP", "VoIP, Messaging & Other Applications", "554 7070 8554", "554"),
    ("IRC", "VoIP, Messaging & Other Applications", "6660-6669", ""),
    ("MS-SQL", "", "1433 1434", ""),
    ("MYSQL", "", "3306", ""),
    ("LOTUS-NOTES", "", "1352", ""),
    ("WINS", "Remote Access", "1512", "1512"),
    ("RSH", "", "514:512-1023", ""),
    ("REXEC", "", "512", ""),
    ("RLOGIN", "", "513:512-1023", ""),
    ("GOPHER", "", "70", ""),
    ("FINGER", "", "79", ""),
    ("NNTP", "", "119", ""),
    ("UUCP", "", "540", ""),
    ("WAIS", "", "210", ""),
    ("TALK", "", "", "517-518"),
    ("QUAKE", "", "", "26000 27000 27910 27960"),
];

/// Name, category, attributes.
fn others() -> Vec<Value> {
    vec![
        json!({"name": "ALL", "category": "General", "protocol": "IP"}),
        json!({"name": "ALL_ICMP", "category": "General", "protocol": "ICMP"}),
        json!({"name": "ALL_ICMP6", "category": "General", "protocol": "ICMP6"}),
        json!({"name": "PING", "category": "Network Services", "protocol": "ICMP", "icmptype": 8}),
        json!({"name": "PING6", "category": "Network Services", "protocol": "ICMP6", "icmptype": 128}),
        json!({"name": "OSPF", "category": "Network Services", "protocol": "IP", "protocol-number": 89}),
        json!({"name": "AH", "category": "Tunneling", "protocol": "IP", "protocol-number": 51}),
        json!({"name": "ESP", "category": "Tunneling", "protocol": "IP", "protocol-number": 50}),
        json!({"name": "GRE", "category": "Tunneling", "protocol": "IP", "protocol-number": 47}),
        json!({"name": "INFO_ADDRESS", "protocol": "ICMP", "icmptype": 17}),
        json!({"name": "INFO_REQUEST", "protocol": "ICMP", "icmptype": 15}),
        json!({"name": "TIMESTAMP", "protocol": "ICMP", "icmptype": 13}),
        json!({"name": "NONE", "tcp-portrange": "0"}),
        json!({"name": "webproxy", "category": "Web Proxy", "proxy": "enable", "protocol": "ALL",
               "tcp-portrange": "0-65535:0-65535"}),
    ]
}

/// Every predefined row of `firewall.service/custom`.
pub(crate) fn services() -> Vec<Value> {
    let with_ports = |&(name, category, tcp, udp): &(&str, &str, &str, &str)| json!({"name": name, "category": category, "tcp-portrange": tcp, "udp-portrange": udp});
    others().into_iter().chain(PORTS.iter().map(with_ports)).collect()
}

/// Every predefined row of `firewall.service/group`.
pub(crate) fn groups() -> Vec<Value> {
    let group = |name: &str, members: &[&str]| {
        let members: Vec<Value> = members.iter().map(|member| json!({"name": member})).collect();
        json!({"name": name, "member": members})
    };
    vec![
        group("Email Access", &["DNS", "IMAP", "IMAPS", "POP3", "POP3S", "SMTP", "SMTPS"]),
        group("Web Access", &["DNS", "HTTP", "HTTPS"]),
        group("Windows AD", &["DCE-RPC", "DNS", "KERBEROS", "LDAP", "LDAP_UDP", "SAMBA", "SMB"]),
        group("Exchange Server", &["DCE-RPC", "DNS", "HTTPS"]),
    ]
}
