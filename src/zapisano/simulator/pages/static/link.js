// /t/<username>: a t.me link met inside the phone's own browser goes back to the phone.
const link = `https://t.me/${location.pathname.slice("/t/".length)}${location.search}`;
// Any parent may hear it: it is only the address that this page was opened with.
if (parent !== window) parent.postMessage({ open: link }, "*");
else location.replace(`/phone?link=${encodeURIComponent(link)}`);
