//! What is advertised, and the names it has.

use heapless::{String, Vec};

use crate::limits::{MAX_INSTANCE_BYTES, MAX_SERVICE_BYTES, MAX_TEXTS_BYTES};
use crate::wire::dns::{Name, NameBuf};
use crate::wire::{Full, Writer, hex, sha256};

/// Longest host name without what renaming adds, in bytes: `waypost-` and eight digits.
const MAX_HOST_BYTES: usize = 16;
/// Bytes of an id that its short form shows, twice as many in hex.
const SHORT_ID_BYTES: usize = 4;

/// A service to advertise: who offers it, and where.
#[derive(Clone)]
pub struct Advert {
    service: String<MAX_SERVICE_BYTES>,
    instance: String<MAX_INSTANCE_BYTES>,
    host: String<MAX_HOST_BYTES>,
    pub(super) port: u16,
    /// The texts of the TXT record, each after its length.
    pub(super) texts: Vec<u8, MAX_TEXTS_BYTES>,
}

impl Advert {
    /// A bootstrap server of this identity that offers `service`, a DNS-SD service name without underscore, on these ports.
    ///
    /// # Errors
    /// [`Full`] if the service name is too long.
    pub fn server(service: &str, id: &[u8], http_port: u16, udp_port: Option<u16>) -> Result<Self, Full> {
        let mut advert = Self::new(service, id, http_port)?;
        advert.instance.push_str("waypost ").map_err(|_| Full)?;
        let short = advert.host.get("waypost-".len()..).ok_or(Full)?;
        advert.instance.push_str(short).map_err(|_| Full)?;
        advert.text(|text| text.put_str("txtvers=1"))?;
        advert.udp(udp_port)?;
        advert.text(|text| text.put_str("path=/"))?;
        advert.text(|text| text.put_str("id=").and_then(|()| text.put_hex(id)))?;
        Ok(advert)
    }

    /// A peer with this id that takes part in `service`, reached on `port`, and by UDP on that port if it has one.
    ///
    /// # Errors
    /// [`Full`] if the service name or the id is too long.
    pub fn peer(service: &str, id: &str, port: u16, udp_port: Option<u16>) -> Result<Self, Full> {
        let mut advert = Self::new(service, &sha256::digest(&[id.as_bytes()]), port)?;
        for c in id.chars() {
            // A long id is whole in the TXT record.
            if advert.instance.push(c).is_err() {
                break;
            }
        }
        advert.text(|text| text.put_str("txtvers=1"))?;
        advert.text(|text| text.put_str("id=").and_then(|()| text.put_str(id)))?;
        advert.udp(udp_port)?;
        Ok(advert)
    }

    fn new(service: &str, id: &[u8], port: u16) -> Result<Self, Full> {
        let mut host = String::new();
        host.push_str("waypost-").map_err(|_| Full)?;
        for digit in id.iter().take(SHORT_ID_BYTES).flat_map(|&byte| hex::encode(byte)) {
            host.push(char::from(digit)).map_err(|_| Full)?;
        }
        let service = String::try_from(service).map_err(|_| Full)?;
        Ok(Self { service, instance: String::new(), host, port, texts: Vec::new() })
    }

    fn udp(&mut self, port: Option<u16>) -> Result<(), Full> {
        port.map_or(Ok(()), |port| {
            self.text(|text| text.put_str("udp=").and_then(|()| text.put_decimal(port.into())))
        })
    }

    /// Adds a text to the TXT record.
    fn text(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Result<(), Full> {
        let mut buffer = [0; 128];
        let mut text = Writer::new(&mut buffer);
        write(&mut text)?;
        let length = u8::try_from(text.len()).map_err(|_| Full)?;
        self.texts.push(length).map_err(|_| Full)?;
        self.texts.extend_from_slice(text.written()).map_err(|_| Full)
    }
}

/// A name that is ours alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// The instance of the service.
    Instance,
    /// The host.
    Host,
}

/// All names of an advert.
pub(super) struct Names {
    /// `_NAME._tcp.local`.
    pub(super) service: NameBuf,
    /// `_services._dns-sd._udp.local`, where all services are listed (RFC 6763, section 9).
    pub(super) services: NameBuf,
    /// `INSTANCE._NAME._tcp.local`.
    pub(super) instance: NameBuf,
    /// `HOST.local`.
    pub(super) host: NameBuf,
    /// How often each was taken by somebody else.
    instance_number: u32,
    host_number: u32,
}

impl Names {
    /// The names `advert` wants.
    pub(super) fn new(advert: &Advert) -> Result<Self, Full> {
        let mut service = NameBuf::root();
        let mut label = [0; MAX_SERVICE_BYTES + 1];
        let mut text = Writer::new(&mut label);
        text.put_str("_")?;
        text.put_str(&advert.service)?;
        service.push(text.written())?;
        [&b"_tcp"[..], b"local"].into_iter().try_for_each(|label| service.push(label))?;
        let services = NameBuf::from_labels([&b"_services"[..], b"_dns-sd", b"_udp", b"local"])?;
        let mut names = Self {
            instance: NameBuf::root(),
            host: NameBuf::root(),
            service,
            services,
            instance_number: 1,
            host_number: 1,
        };
        names.make(advert)?;
        Ok(names)
    }

    /// Chooses another name in place of one that is taken: `NAME (2)` and so on, as RFC 6762, section 9, advises; hosts have
    /// no spaces and brackets.
    pub(super) fn rename(&mut self, own: Own, advert: &Advert) {
        let number = match own {
            Own::Instance => &mut self.instance_number,
            Own::Host => &mut self.host_number,
        };
        *number = number.wrapping_add(1).max(2);
        // They fit: the longest number has been allowed for.
        let _ = self.make(advert);
    }

    /// Whose name of ours `name` is.
    pub(super) fn own(&self, name: Name<'_>) -> Option<Own> {
        if name == self.instance.name() {
            Some(Own::Instance)
        } else if name == self.host.name() {
            Some(Own::Host)
        } else {
            None
        }
    }

    fn make(&mut self, advert: &Advert) -> Result<(), Full> {
        let mut buffer = [0; 63];
        let mut label = Writer::new(&mut buffer);
        label.put_str(&advert.instance)?;
        if self.instance_number > 1 {
            label.put_str(" (")?;
            label.put_decimal(self.instance_number.into())?;
            label.put_str(")")?;
        }
        let mut instance = NameBuf::from_labels([label.written()])?;
        instance.append(self.service.name())?;
        label.rewind(0);
        label.put_str(&advert.host)?;
        if self.host_number > 1 {
            label.put_str("-")?;
            label.put_decimal(self.host_number.into())?;
        }
        self.host = NameBuf::from_labels([label.written(), b"local"])?;
        self.instance = instance;
        Ok(())
    }
}
