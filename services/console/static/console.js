// Speech is offered only where the browser recognises it on this machine: the usual way sends it to
// another host.
window.switchboard = (() => {
  const Recognition = window.SpeechRecognition || window.webkitSpeechRecognition;
  const language = navigator.language;
  const ours = navigator.languages.map((one) => one.slice(0, 2)).find((one) => /en|es|ru/.test(one));
  document.documentElement.lang = ours || "en";
  let listening = null;

  const isLocal = async () => {
    if (!Recognition || !Recognition.available) return false;
    try {
      const state = await Recognition.available({ langs: [language], processLocally: true });
      return state === "available";
    } catch {
      return false;
    }
  };

  const write = (text) => {
    const box = document.querySelector("#wish textarea");
    const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set;
    set.call(box, (box.value ? box.value.trimEnd() + " " : "") + text);
    box.dispatchEvent(new Event("input", { bubbles: true }));
    box.focus();
  };

  const listen = () => {
    if (listening) {
      listening.stop();
      return;
    }
    listening = new Recognition();
    listening.lang = language;
    listening.processLocally = true;
    listening.onresult = (event) => write(event.results[0][0].transcript);
    listening.onend = () => {
      listening = null;
      document.body.classList.remove("listening");
    };
    document.body.classList.add("listening");
    listening.start();
  };

  isLocal().then((yes) => yes && document.documentElement.classList.add("hears"));
  return { listen };
})();
