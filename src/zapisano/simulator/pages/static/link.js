// /t/<username>: a t.me link met inside the phone's own browser goes back to the phone.
const link = `https://t.me/${location.pathname.slice("/t/".length)}${location.search}`;
if (parent !== window) parent.postMessage({ open: link }, location.origin);
else location.replace(`/phone?link=${encodeURIComponent(link)}`);
