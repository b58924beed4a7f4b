/** Where the page begins: opens the store, draws the page, and sees to it that it opens without a network. */
import { render } from 'preact';
import { openStore } from './state/store';
import { watchForUpdates } from './state/updates';
import { App } from './ui/app';
import './styles/theme.css';
import './styles/frame.css';
import './styles/chat.css';

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
void openStore();
if (import.meta.env.PROD) watchForUpdates();
