function render({ model }) {
  let parts = [];
  model.on("msg:custom", (message) => {
    if ("part" in message) parts.push(message.part);
    if ("drop" in message) parts = [];
    if ("name" in message) {
      const address = URL.createObjectURL(new Blob(parts, { type: message.type }));
      parts = [];
      const link = h("a", { href: address, download: message.name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    }
  });
}

export default { render };
