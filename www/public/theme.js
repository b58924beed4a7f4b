// Runs before anything is painted, so that a chosen theme does not flash. The page itself: src/state/theme.ts.
try {
  const theme = localStorage.getItem('chatstore-demo.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // No local storage: the system's theme.
}
