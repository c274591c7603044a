import { setNonce } from "get-nonce";

/** The nonce under which the content security policy of this answer allows styles that scripts add. */
export const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";

// For the library that keeps the page from scrolling behind a dialogue.
setNonce(nonce);
