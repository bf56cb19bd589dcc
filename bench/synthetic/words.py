"""The words that the made-up site is made of. Numbers choose among them in `values`; the order is popularity."""

from __future__ import annotations

_POPULAR = """
    www.google.com www.gstatic.com outlook.office365.com www.youtube.com fonts.googleapis.com api.github.com
    safebrowsing.googleapis.com settings-win.data.microsoft.com graph.microsoft.com teams.microsoft.com
    clients4.google.com www.facebook.com login.microsoftonline.com ctldl.windowsupdate.com play.googleapis.com
    www.bing.com update.googleapis.com self.events.data.microsoft.com graph.facebook.com i.instagram.com
    ssl.gstatic.com accounts.google.com www.googletagmanager.com www.google-analytics.com stats.g.doubleclick.net
    googleads.g.doubleclick.net gateway.icloud.com gs-loc.apple.com mesu.apple.com time.windows.com
    ocsp.digicert.com r3.o.lencr.org www.msftconnecttest.com detectportal.firefox.com captive.apple.com
    connectivitycheck.gstatic.com web.whatsapp.com api.twitter.com abs.twimg.com www.reddit.com www.wikipedia.org
    en.wikipedia.org upload.wikimedia.org www.amazon.com s3.amazonaws.com images-na.ssl-images-amazon.com
    api.netflix.com www.netflix.com occ-0-1-2.1.nflxso.net api.spotify.com apresolve.spotify.com audio-fa.scdn.co
    discord.com gateway.discord.gg slack.com wss-primary.slack.com zoom.us us04web.zoom.us www.linkedin.com
    static.licdn.com www.dropbox.com client.dropbox.com onedrive.live.com skydrivesync.policies.live.net
    download.windowsupdate.com fe3cr.delivery.mp.microsoft.com definitionupdates.microsoft.com database.clamav.net
    update.eset.com liveupdate.symantecliveupdate.com dnl-01.geo.kaspersky.com spclient.wg.spotify.com update.avast.com
    deb.debian.org security.debian.org archive.ubuntu.com security.ubuntu.com mirrors.fedoraproject.org pypi.org
    files.pythonhosted.org registry.npmjs.org crates.io index.docker.io registry-1.docker.io
    production.cloudflare.docker.com github.com codeload.github.com objects.githubusercontent.com gitlab.com
    stackoverflow.com cdn.sstatic.net www.nytimes.com www.bbc.co.uk www.theguardian.com edition.cnn.com
    www.spiegel.de www.lemonde.fr weather.com www.booking.com www.ebay.com www.paypal.com api.stripe.com
    js.stripe.com store.steampowered.com cdn.akamai.steamstatic.com api.steampowered.com launcher-public-service-
    prod06.ol.epicgames.com assets.minecraftservices.com thepiratebay.org 1337x.to tracker.opentrackr.org
    open.stealth.si router.bittorrent.com dns.google cloudflare-dns.com one.one.one.one
    browser.pipe.aria.microsoft.com v10.events.data.microsoft.com firefox.settings.services.mozilla.com
    incoming.telemetry.mozilla.org push.services.mozilla.com app-measurement.com firebaselogging-pa.googleapis.com
    settings.crashlytics.com sentry.io o33249.ingest.sentry.io cdn.segment.com api.segment.io bat.bing.com
    connect.facebook.net www.googleadservices.com securepubads.g.doubleclick.net ib.adnxs.com sync.outbrain.com
    widgets.outbrain.com trc.taboola.com pixel.rubiconproject.com ads.pubmatic.com mail.google.com imap.gmail.com
    smtp.gmail.com outlook.live.com mail.yahoo.com www.tiktok.com v16-webapp.tiktok.com app-site-association.cdn-
    apple.com itunes.apple.com p16-buy.itunes.apple.com swcdn.apple.com xp.apple.com iphone-ld.apple.com
    www.icloud.com wpad.corp.example intranet.corp.example git.corp.example mail.corp.example dc1.corp.example
    files.corp.example print.corp.example
"""
POPULAR = tuple(_POPULAR.split())

_PARENTS = """
    cloudfront.net akamaized.net edgekey.net fastly.net azureedge.net safeframe.googlesyndication.com
    googlevideo.com fbcdn.net s3.amazonaws.com blob.core.windows.net execute-api.us-east-1.amazonaws.com appspot.com
    herokuapp.com metric.gstatic.com sophosxl.net e5.sk avqs.mcafee.com msedge.net trafficmanager.net b-cdn.net
    azurewebsites.net web.app pages.dev workers.dev r2.dev netlify.app vercel.app mktoresp.com omtrdc.net demdex.net
    adsrvr.org moatads.com
"""
PARENTS = tuple(_PARENTS.split())

SUBDOMAINS = (
    "www.",
    "www.",
    "www.",
    "",
    "",
    "api.",
    "m.",
    "cdn.",
    "static.",
    "img.",
    "shop.",
    "blog.",
    "mail.",
    "app.",
)

SUFFIXES = (
    ".com",
    ".com",
    ".com",
    ".com",
    ".net",
    ".org",
    ".de",
    ".co.uk",
    ".fr",
    ".io",
    ".nl",
    ".com.br",
    ".ru",
    ".jp",
)

_WORDS = """
    able acid acre aero agent alpha amber ample anchor apex apple arbor arch arrow ash aspen atlas aura autumn axis
    badge baker balance bamboo band bank barn basic bay beacon bear berry beta bird blade blaze block bloom blue
    board bolt bond book border boston brave bread breeze brick bridge bright brook brush build cabin cable calm
    camp canal candle canvas canyon capital card care cargo castle cedar center chain chalk charm chart chase chess
    choice cider circle citrus city classic clay clear cliff clock cloud clover coach coast cobalt code coffee
    copper coral core corner cotton craft crane creek crest crown cube curve custom daily dawn deal deck deep delta
    desert design desk diamond digital dock dome door dot dove draft dragon dream drift dune dust eagle early earth
    east easy echo edge elder elm ember emerald energy engine epic equal event ever exact fable factor fair falcon
    family farm fast feather fern field fig finch fine fir fire first fish flag flame flash fleet flex flint floor
    flora flow fly focus forest forge fort forum fox frame free fresh frost fruit fund fusion future galaxy gallery
    game garden gate gear gem gift glass global globe gold good grace grain grand granite grape graph grass gravity
    great green grid grove growth guard guide gulf habit hall hand harbor harvest haven hawk hazel heart heat hedge
    helm herb hero hill hive holly home honey hope horizon horse house hub ice idea index indigo ink inn iris iron
    island ivory ivy jade jet jewel join joy juniper keen key king kite knight lab lake lamp land lane laser latch
    laurel leaf ledge legend lemon level liberty life light lily lime linden line link lion list live local lodge
    logic loop lotus lucky lumen lunar lynx magic magnet mango maple marble market marsh mason meadow media mega
    mellow mesa metal metro mild mill mind mint mirror mist modern moon moss motion motor mount music nation native
    nest net new nimble noble node north note nova oak oasis ocean olive omega onyx opal open orange orbit orchid
    origin otter owl palm panel paper park path peak pearl pebble penguin pepper phoenix piano pilot pine pioneer
    pixel plain planet plum point polar pond port post prairie press prime print prism pulse quartz quest quick
    quiet rabbit radius rain ranch rapid raven ray reach real record red reef ridge rise river road robin rock
    rocket root rose route royal ruby rush sage sail salt sand saturn scale school scout sea seed sense shade shell
    shield shift shore sierra signal silver simple sky smart snow social solar solid sonic source south space spark
    spice spirit spring spruce square stable star station steel stone storm story stream street strong studio summit
    sun swan swift system table talent tango target team teal tech terra thunder tide tiger time topaz torch total
    tower track trade trail travel tree trend tribe true trust tulip turbo twin union unity urban valley value vault
    vector velvet venture verge view village vine violet vision vista vital voice wagon walnut water wave way west
    whale wheel wild willow wind window wing winter wise wolf wonder wood work world yard yellow zen zephyr zinc
    zone
"""
WORDS = tuple(_WORDS.split())

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome"
USER_AGENTS = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME}/138.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME}/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
    "Microsoft-CryptoAPI/10.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME}/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1",
    "Microsoft NCSI",
    "Microsoft-Delivery-Optimization/10.1",
    "Windows-Update-Agent/10.0.10011.16384 Client-Protocol/2.70",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Safari/605.1.15",
    f"Mozilla/5.0 (X11; Linux x86_64) {_CHROME}/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME}/138.0.0.0 Mobile Safari/537.36",
    "Debian APT-HTTP/1.3 (2.6.1)",
    "Debian APT-HTTP/1.3 (2.4.13) non-interactive",
    "ClamAV/1.4.2 (OS: Linux, ARCH: x86_64, CPU: x86_64, UUID: 9a4c4ac4-0d2b-4b5e-9c4c-0f2f8a1d7e33)",
    "CaptiveNetworkSupport-481.100.8 wispr",
    "ocspd/1.0.3",
    "trustd (unknown version) CFNetwork/1498.700.2 Darwin/23.6.0",
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.32.3",
    "Go-http-client/1.1",
    "Java/17.0.11",
    "libdnf (Fedora Linux 40; workstation; Linux.x86_64)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Transmission/3.00",
    "qBittorrent/4.6.5",
    "Valve/Steam HTTP Client 1.0",
    "VLC/3.0.20 LibVLC/3.0.20",
    "check_http/v2.3.3 (monitoring-plugins 2.3.3)",
)

PLATFORMS = (
    "Windows NT 10.0; Win64; x64",
    "Windows NT 6.1; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "X11; CrOS x86_64 14541.0.0",
)

PHONES = (
    "SM-G991B",
    "SM-A536B",
    "SM-S918U",
    "Pixel 6",
    "Pixel 8 Pro",
    "M2101K6G",
    "CPH2211",
    "moto g power (2022)",
    "KFTRWI",
)

APPS = (
    "Spotify",
    "WeatherKit",
    "Snapchat",
    "Podcasts",
    "MobileMail",
    "Teams",
    "Dropbox",
    "OneDrive",
    "NewsStand",
    "Zalando",
)

_OPENSSH = (
    "OpenSSH_9.6p1 Ubuntu-3ubuntu13.{}",
    "OpenSSH_8.9p1 Ubuntu-3ubuntu0.{}",
    "OpenSSH_8.2p1 Ubuntu-4ubuntu0.{}",
    "OpenSSH_9.2p1 Debian-2+deb12u{}",
    "OpenSSH_8.4p1 Debian-5+deb11u{}",
    "OpenSSH_7.9p1 Debian-10+deb10u{}",
)
_OTHER_SSH = (
    "OpenSSH_9.9",
    "OpenSSH_9.8 FreeBSD-20240806",
    "OpenSSH_8.7",
    "OpenSSH_8.0",
    "OpenSSH_7.4",
    "OpenSSH_5.3",
    "OpenSSH_for_Windows_9.5",
    "OpenSSH_for_Windows_8.1",
    "dropbear_2022.83",
    "dropbear_2019.78",
    "Cisco-1.25",
    "HUAWEI-1.5",
    "ROSSSH",
    "mod_sftp/0.9.9",
    "PuTTY_Release_0.81",
    "WinSCP_release_6.3.4",
    "libssh_0.10.6",
    "libssh2_1.11.0",
    "paramiko_3.4.0",
    "Go",
    "JSCH-0.2.17",
    "AsyncSSH_2.14.2",
)
SSH_BANNERS = tuple(
    f"SSH-2.0-{software}" for software in (*(s.format(n) for s in _OPENSSH for n in range(1, 13)), *_OTHER_SSH)
)

MAILERS = (
    "Microsoft Outlook 16.0",
    "Mozilla Thunderbird",
    "Apple Mail (2.3774.600.62)",
    "PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)",
    "Roundcube Webmail/1.6.7",
    "iPhone Mail (21F90)",
    "mutt/2.2.12",
)

SUBJECTS = (
    "Invoice",
    "Re: minutes of the meeting",
    "Your order has shipped",
    "Fwd: draft",
    "Weekly report",
    "Newsletter",
    "Re:",
)
