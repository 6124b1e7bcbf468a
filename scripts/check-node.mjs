// Ends with a sentence where Node.js is too old, before npm or tsc fail with something less clear.
const oldest = 20;
const major = Number(process.versions.node.split(".")[0]);
if (major < oldest) {
  console.error(
    `paceline: Node.js ${process.versions.node} is too old; install Node.js ${oldest} or later.`,
  );
  process.exit(1);
}
