"""Words of banners that name no product, though they stand where a product's name does."""

from __future__ import annotations

_GENERIC = (
    "a an and app appliance applications automation backend based box broadband built by cache camera cgi client "
    "communication console controller corp custom daemon data default demo device dvr edge edition embedded "
    "esmtp ftp ftpd gateway generic hello home host hosting http httpd https imap imap4 imap4rev1 inc "
    "internet ip ipcam kernel lan linux lite local localhost ltd mail main manager media micro mime mini modem mta my "
    "network new news nntp none nvr on online personal pop pop3 portal print printer private pro professional "
    "proxy ready receiver release router rtsp rtspd secure server service sftp simple sip smtp software ssh sshd "
    "standard station storage switch system systems technologies technology tcp telnet test the tiny to transfer udp "
    "unix unknown unspecified upnp usenet user version video voip web webs webserver website welcome wireless with www"
)
GENERIC = frozenset(_GENERIC.split())
"""What they say is said by the protocol already, or by nobody."""
_COMPONENTS = "php perl python cpython pypy ruby openssl java jsp asp.net microsoft-httpapi gsoap"
COMPONENTS = frozenset(_COMPONENTS.split())
"""Software below the product that a header is about: named where nothing else is."""


def is_generic(name: str) -> bool:
    """Whether every word of a name is generic: `Web Server`, `HTTP-Proxy`."""
    return GENERIC.issuperset(name.casefold().replace("-", " ").replace("_", " ").split())
