"""The studio: a page in the browser that shows the spikes which a trained model generates for a drawn movement."""
