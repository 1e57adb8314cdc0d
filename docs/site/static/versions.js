// Where the sites of several releases lie side by side, as in 0.1.0/ and 0.2.0/, and versions.json beside them lists these
// folders, a choice of the release appears below the search.
document.addEventListener("DOMContentLoaded", async () => {
  const root = new URL(document.documentElement.dataset.content_root, location.href);
  const answer = await fetch(new URL("../versions.json", root)).catch(() => null);
  if (!answer?.ok) return;
  const here = root.pathname.split("/").at(-2);
  const choice = document.createElement("select");
  choice.className = "versions";
  choice.ariaLabel = "version";
  for (const version of await answer.json()) choice.add(new Option(version, version, false, version === here));
  choice.onchange = async () => {
    const page = location.href.slice(root.href.length);
    const target = new URL(`../${choice.value}/${page}`, root);
    const found = await fetch(target, { method: "HEAD" });
    location.href = found.ok ? target : new URL(`../${choice.value}/`, root);
  };
  document.querySelector(".sidebar-search-container").after(choice);
});
